"""The nets, each as a function of the image's height and width. Nothing here imports torch."""
