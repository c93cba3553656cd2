"""DyMN: MobileNetV3 whose convolutions and activations depend on the clip (EfficientAT), on AudioSet or ImageNet."""
