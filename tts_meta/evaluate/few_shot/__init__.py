"""The few-shot benchmark: methods compared on the same speakers, sentences and steps."""
