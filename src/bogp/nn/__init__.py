"""Layers that hold and compute only the kept blocks of a mask, and networks made of them."""

from bogp.nn.attention import GraphMultiheadAttention as GraphMultiheadAttention
from bogp.nn.blocks import Blocks as Blocks
from bogp.nn.blocks import blocks_of_mask as blocks_of_mask
from bogp.nn.blocks import even_blocks as even_blocks
from bogp.nn.conv import GraphConv1d as GraphConv1d
from bogp.nn.conv import GraphConv2d as GraphConv2d
from bogp.nn.convert import Converted as Converted
from bogp.nn.convert import LayerChange as LayerChange
from bogp.nn.convert import to_graph as to_graph
from bogp.nn.costs import DEFAULT as DEFAULT
from bogp.nn.costs import Costs as Costs
from bogp.nn.linear import GraphLinear as GraphLinear
from bogp.nn.measure import measured as measured
from bogp.nn.plan import Plan as Plan
from bogp.nn.plan import plan_blocks as plan_blocks
