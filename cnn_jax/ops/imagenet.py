"""The statistics of ImageNet's training images, which networks for it are standardised by.

Pixels in 0..1, a value per channel (red, green, blue). Every network that torchvision offers, and
the CIFAR networks in their wake, were trained with them.
"""

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
