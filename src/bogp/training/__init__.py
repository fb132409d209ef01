"""Training masked networks: recipe, models, the loop of one, populations, evaluation."""

from bogp.training.candidate import Halving as Halving
from bogp.training.candidate import TrainedCandidate as TrainedCandidate
from bogp.training.evaluate import Metrics as Metrics
from bogp.training.evaluate import evaluate as evaluate
from bogp.training.loop import Trained as Trained
from bogp.training.loop import train as train
from bogp.training.models import MODELS as MODELS
from bogp.training.models import model_factory as model_factory
from bogp.training.models import relational_network as relational_network
from bogp.training.narrower import Narrower as Narrower
from bogp.training.narrower import narrower as narrower
from bogp.training.population import Population as Population
from bogp.training.population import train_population as train_population
from bogp.training.randomness import ModelFactory as ModelFactory
from bogp.training.randomness import initialise as initialise
from bogp.training.recipe import RECIPES as RECIPES
from bogp.training.recipe import Recipe as Recipe
from bogp.training.recipe import recipe as recipe
from bogp.training.structure import Structure as Structure
from bogp.training.structure import structure as structure
from bogp.training.zoo import gpt as gpt
from bogp.training.zoo import lenet_5 as lenet_5
from bogp.training.zoo import lenet_300_100 as lenet_300_100
from bogp.training.zoo import mlp as mlp
from bogp.training.zoo import resnet as resnet
from bogp.training.zoo import vit as vit
