"""Speech recognition by Whisper, and slices of long recordings with their transcripts."""
