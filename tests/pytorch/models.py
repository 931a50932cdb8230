"""AllCNN, ResNet18 and WRN-28-5 in PyTorch, as references.

Attributes are named to give state_dict() the names used in weight files. Images are (N, 3, 32, 32).
"""

from torch import nn
from torch.nn import functional as F


def conv(inputs, outputs, kernel=3, stride=1, padding=1):
    return nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=padding, bias=False)


class AllCnnBlock(nn.Module):
    def __init__(self, inputs, outputs, stride, padding):
        super().__init__()
        self.conv = conv(inputs, outputs, stride=stride, padding=padding)
        self.bn = nn.BatchNorm2d(outputs, track_running_stats=False)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)))


class AllCnn(nn.Module):
    def __init__(self, classes):
        super().__init__()
        channels = [3, 96, 96, 96, 192, 192, 192, 192, 192, classes]
        for i in range(1, 10):
            stride = 2 if i in (3, 6) else 1
            padding = 0 if i == 7 else 1
            self.add_module(f"conv{i}", AllCnnBlock(channels[i - 1], channels[i], stride, padding))

    def forward(self, x):
        for block in self.children():
            x = block(x)
        return 0.125 * F.avg_pool2d(x, 6).flatten(1)


class ResNetBlock(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = conv(inputs, outputs, stride=stride)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = conv(outputs, outputs)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(conv(inputs, outputs, 1, stride, 0), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.shortcut(x))


class ResNet18(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.conv1 = conv(3, 64)
        self.bn1 = nn.BatchNorm2d(64)
        inputs = 64
        for stage, outputs in enumerate([64, 128, 256, 512], start=1):
            first = ResNetBlock(inputs, outputs, 1 if stage == 1 else 2)
            self.add_module(f"layer{stage}", nn.Sequential(first, ResNetBlock(outputs, outputs, 1)))
            inputs = outputs
        self.linear = nn.Linear(512, classes)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
        return self.linear(F.avg_pool2d(x, 4).flatten(1))


class WideBlock(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = conv(inputs, outputs, stride=stride)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = conv(outputs, outputs)
        self.convShortcut = conv(inputs, outputs, 1, stride, 0) if inputs != outputs else None

    def forward(self, x):
        o = F.relu(self.bn1(x))
        y = self.conv2(F.relu(self.bn2(self.conv1(o))))
        return y + (x if self.convShortcut is None else self.convShortcut(o))


class WideGroup(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        blocks = [WideBlock(inputs, outputs, stride)] + [WideBlock(outputs, outputs, 1) for _ in range(3)]
        self.layer = nn.Sequential(*blocks)

    def forward(self, x):
        return self.layer(x)


class WideResNet(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.conv1 = conv(3, 16)
        self.block1 = WideGroup(16, 80, 1)
        self.block2 = WideGroup(80, 160, 2)
        self.block3 = WideGroup(160, 320, 2)
        self.bn1 = nn.BatchNorm2d(320)
        self.fc = nn.Linear(320, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                fan_out = module.out_channels * module.kernel_size[0] * module.kernel_size[1]
                nn.init.normal_(module.weight, 0.0, (2.0 / fan_out) ** 0.5)

    def forward(self, x):
        x = self.block3(self.block2(self.block1(self.conv1(x))))
        return self.fc(F.avg_pool2d(F.relu(self.bn1(x)), 8).flatten(1))


NETS = {"allcnn": AllCnn, "resnet18": ResNet18, "wrn28-5": WideResNet}
