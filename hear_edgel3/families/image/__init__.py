"""Pictures of spectrograms through a net for photographs, as DeepSpectrumLite made them: its fourth system's family."""
