"""The MobileNetV3 family of EfficientAT."""
