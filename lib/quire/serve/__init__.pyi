from .predict import Champion as Champion
from .predict import load_champion as load_champion
from .predict import predict_batch as predict_batch
from .predict import predict_run as predict_run
from .predict import read_history as read_history
from .predict import save_batch as save_batch
from .widgets import prediction_form as prediction_form
