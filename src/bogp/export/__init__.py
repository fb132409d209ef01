"""Export: a pruned model as a file that others load, its size and latency measured."""

from bogp.coupling.compaction import Compacted as Compacted
from bogp.coupling.compaction import LayerSize as LayerSize
from bogp.coupling.compaction import compact as compact
from bogp.errors import ExportError as ExportError
from bogp.export.exporting import Export as Export
from bogp.export.exporting import export_model as export_model
from bogp.export.formats import DEFAULT_FORMATS as DEFAULT_FORMATS
from bogp.export.formats import FORMATS as FORMATS
from bogp.export.formats import Exported as Exported
from bogp.export.formats import Format as Format
from bogp.export.measure import Latency as Latency
from bogp.export.measure import measure as measure
from bogp.export.onnx import OnnxFile as OnnxFile
from bogp.export.onnx import to_onnx as to_onnx
from bogp.export.sparse import load_sparse as load_sparse
from bogp.export.sparse import save_sparse as save_sparse
from bogp.export.sparse import to_bsr as to_bsr
from bogp.export.sparse import to_csr as to_csr
