"""Event-CLIP: an encoder of event pictures in the space of OpenAI's CLIP."""
