"""Finetuning without Fiji: from images and annotations to the files of a run."""
