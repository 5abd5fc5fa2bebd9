"""One page about a training: model, data, curves, scores, pictures.

`pyunet_reproduce.report.run` says what a page may be about; `finetuned`, `reproduced`
and `training_files` find it in what the commands leave behind; `page` writes it.
"""
