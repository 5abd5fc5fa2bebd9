"""For Fiji's U-Net plugin: the program that it calls, finetuning, the doctor."""
