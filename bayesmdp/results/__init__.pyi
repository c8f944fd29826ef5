from . import comparison as comparison
from .files import load as load
from .files import save as save
