"""MPRNet, written from its paper like a user's own network.

Zamir, Arora, Khan, Hayat, Khan, Yang, Shao: Multi-Stage Progressive Image Restoration, CVPR 2021.
The code is edgeexpo's. It keeps the three stages, of which the first sees quarters of the picture
and the second halves. It has 8 channels instead of 40, one channel attention block at each level
instead of two, and two in each block of the last stage instead of eight. It returns the pictures
of all stages, the last one first, as its authors' network does. Export it with::

    edgeexpo export benchmarks/foreign/mprnet.py:factory --output-name 0 \\
        --input photo=1x3x64x64 --target all --precision fp32,int8
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


def conv(
    in_channels: int, out_channels: int, kernel_size: int, bias: bool = False, stride: int = 1
) -> nn.Conv2d:
    """Return a convolution that keeps the size."""
    return nn.Conv2d(
        in_channels,
        out_channels,
        kernel_size,
        padding=(kernel_size // 2),
        bias=bias,
        stride=stride,
    )


class CALayer(nn.Module):
    """Channel attention."""

    def __init__(self, channel: int, reduction: int, bias: bool = False) -> None:
        super().__init__()
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.conv_du = nn.Sequential(
            nn.Conv2d(channel, channel // reduction, 1, padding=0, bias=bias),
            nn.ReLU(inplace=True),
            nn.Conv2d(channel // reduction, channel, 1, padding=0, bias=bias),
            nn.Sigmoid(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.avg_pool(x)
        y = self.conv_du(y)
        return x * y


class CAB(nn.Module):
    """Channel attention block: two convolutions and attention, with a residual."""

    def __init__(
        self, n_feat: int, kernel_size: int, reduction: int, bias: bool, act: nn.Module
    ) -> None:
        super().__init__()
        modules_body: list[nn.Module] = []
        modules_body.append(conv(n_feat, n_feat, kernel_size, bias=bias))
        modules_body.append(act)
        modules_body.append(conv(n_feat, n_feat, kernel_size, bias=bias))
        self.CA = CALayer(n_feat, reduction, bias=bias)
        self.body = nn.Sequential(*modules_body)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        res = self.body(x)
        res = self.CA(res)
        res += x
        return res


class SAM(nn.Module):
    """Supervised attention module, which gives features and the stage's picture."""

    def __init__(self, n_feat: int, kernel_size: int, bias: bool) -> None:
        super().__init__()
        self.conv1 = conv(n_feat, n_feat, kernel_size, bias=bias)
        self.conv2 = conv(n_feat, 3, kernel_size, bias=bias)
        self.conv3 = conv(3, n_feat, kernel_size, bias=bias)

    def forward(self, x: torch.Tensor, x_img: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x1 = self.conv1(x)
        img = self.conv2(x) + x_img
        x2 = torch.sigmoid(self.conv3(img))
        x1 = x1 * x2
        x1 = x1 + x
        return x1, img


class DownSample(nn.Module):
    """Half the size and more channels."""

    def __init__(self, in_channels: int, s_factor: int) -> None:
        super().__init__()
        self.down = nn.Sequential(
            nn.Upsample(scale_factor=0.5, mode="bilinear", align_corners=False),
            nn.Conv2d(in_channels, in_channels + s_factor, 1, stride=1, padding=0, bias=False),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(x)


class UpSample(nn.Module):
    """Twice the size and fewer channels."""

    def __init__(self, in_channels: int, s_factor: int) -> None:
        super().__init__()
        self.up = nn.Sequential(
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
            nn.Conv2d(in_channels + s_factor, in_channels, 1, stride=1, padding=0, bias=False),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.up(x)


class SkipUpSample(UpSample):
    """Twice the size, and the sum with the skip connection."""

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        x = self.up(x)
        return x + y


class Encoder(nn.Module):
    """Three levels of channel attention blocks, joined with the stage before (CSFF)."""

    def __init__(
        self,
        n_feat: int,
        kernel_size: int,
        reduction: int,
        act: nn.Module,
        bias: bool,
        scale_unetfeats: int,
        csff: bool,
    ) -> None:
        super().__init__()
        widths = [n_feat + i * scale_unetfeats for i in range(3)]
        self.encoder_level1, self.encoder_level2, self.encoder_level3 = (
            nn.Sequential(CAB(width, kernel_size, reduction, bias=bias, act=act))
            for width in widths
        )
        self.down12 = DownSample(n_feat, scale_unetfeats)
        self.down23 = DownSample(n_feat + scale_unetfeats, scale_unetfeats)
        if csff:
            self.csff_enc1, self.csff_enc2, self.csff_enc3 = (
                nn.Conv2d(width, width, kernel_size=1, bias=bias) for width in widths
            )
            self.csff_dec1, self.csff_dec2, self.csff_dec3 = (
                nn.Conv2d(width, width, kernel_size=1, bias=bias) for width in widths
            )

    def forward(
        self,
        x: torch.Tensor,
        encoder_outs: Sequence[torch.Tensor] | None = None,
        decoder_outs: Sequence[torch.Tensor] | None = None,
    ) -> list[torch.Tensor]:
        enc1 = self.encoder_level1(x)
        if (encoder_outs is not None) and (decoder_outs is not None):
            enc1 = enc1 + self.csff_enc1(encoder_outs[0]) + self.csff_dec1(decoder_outs[0])
        x = self.down12(enc1)
        enc2 = self.encoder_level2(x)
        if (encoder_outs is not None) and (decoder_outs is not None):
            enc2 = enc2 + self.csff_enc2(encoder_outs[1]) + self.csff_dec2(decoder_outs[1])
        x = self.down23(enc2)
        enc3 = self.encoder_level3(x)
        if (encoder_outs is not None) and (decoder_outs is not None):
            enc3 = enc3 + self.csff_enc3(encoder_outs[2]) + self.csff_dec3(decoder_outs[2])
        return [enc1, enc2, enc3]


class Decoder(nn.Module):
    """Three levels of channel attention blocks, with attention on the skip connections."""

    def __init__(
        self,
        n_feat: int,
        kernel_size: int,
        reduction: int,
        act: nn.Module,
        bias: bool,
        scale_unetfeats: int,
    ) -> None:
        super().__init__()
        widths = [n_feat + i * scale_unetfeats for i in range(3)]
        self.decoder_level1, self.decoder_level2, self.decoder_level3 = (
            nn.Sequential(CAB(width, kernel_size, reduction, bias=bias, act=act))
            for width in widths
        )
        self.skip_attn1 = CAB(widths[0], kernel_size, reduction, bias=bias, act=act)
        self.skip_attn2 = CAB(widths[1], kernel_size, reduction, bias=bias, act=act)
        self.up21 = SkipUpSample(n_feat, scale_unetfeats)
        self.up32 = SkipUpSample(n_feat + scale_unetfeats, scale_unetfeats)

    def forward(self, outs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        enc1, enc2, enc3 = outs
        dec3 = self.decoder_level3(enc3)
        x = self.up32(dec3, self.skip_attn2(enc2))
        dec2 = self.decoder_level2(x)
        x = self.up21(dec2, self.skip_attn1(enc1))
        dec1 = self.decoder_level1(x)
        return [dec1, dec2, dec3]


class ORB(nn.Module):
    """Original resolution block."""

    def __init__(
        self,
        n_feat: int,
        kernel_size: int,
        reduction: int,
        act: nn.Module,
        bias: bool,
        num_cab: int,
    ) -> None:
        super().__init__()
        modules_body: list[nn.Module] = [
            CAB(n_feat, kernel_size, reduction, bias=bias, act=act) for _ in range(num_cab)
        ]
        modules_body.append(conv(n_feat, n_feat, kernel_size))
        self.body = nn.Sequential(*modules_body)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        res = self.body(x)
        res += x
        return res


class ORSNet(nn.Module):
    """The last stage, at the picture's resolution, joined with all levels of the second."""

    def __init__(
        self,
        n_feat: int,
        scale_orsnetfeats: int,
        kernel_size: int,
        reduction: int,
        act: nn.Module,
        bias: bool,
        scale_unetfeats: int,
        num_cab: int,
    ) -> None:
        super().__init__()
        wide = n_feat + scale_orsnetfeats
        self.orb1 = ORB(wide, kernel_size, reduction, act, bias, num_cab)
        self.orb2 = ORB(wide, kernel_size, reduction, act, bias, num_cab)
        self.orb3 = ORB(wide, kernel_size, reduction, act, bias, num_cab)
        self.up_enc1 = UpSample(n_feat, scale_unetfeats)
        self.up_dec1 = UpSample(n_feat, scale_unetfeats)
        self.up_enc2 = nn.Sequential(
            UpSample(n_feat + scale_unetfeats, scale_unetfeats), UpSample(n_feat, scale_unetfeats)
        )
        self.up_dec2 = nn.Sequential(
            UpSample(n_feat + scale_unetfeats, scale_unetfeats), UpSample(n_feat, scale_unetfeats)
        )
        self.conv_enc1 = nn.Conv2d(n_feat, wide, kernel_size=1, bias=bias)
        self.conv_enc2 = nn.Conv2d(n_feat, wide, kernel_size=1, bias=bias)
        self.conv_enc3 = nn.Conv2d(n_feat, wide, kernel_size=1, bias=bias)
        self.conv_dec1 = nn.Conv2d(n_feat, wide, kernel_size=1, bias=bias)
        self.conv_dec2 = nn.Conv2d(n_feat, wide, kernel_size=1, bias=bias)
        self.conv_dec3 = nn.Conv2d(n_feat, wide, kernel_size=1, bias=bias)

    def forward(
        self,
        x: torch.Tensor,
        encoder_outs: Sequence[torch.Tensor],
        decoder_outs: Sequence[torch.Tensor],
    ) -> torch.Tensor:
        x = self.orb1(x)
        x = x + self.conv_enc1(encoder_outs[0]) + self.conv_dec1(decoder_outs[0])
        x = self.orb2(x)
        x = (
            x
            + self.conv_enc2(self.up_enc1(encoder_outs[1]))
            + self.conv_dec2(self.up_dec1(decoder_outs[1]))
        )
        x = self.orb3(x)
        return (
            x
            + self.conv_enc3(self.up_enc2(encoder_outs[2]))
            + self.conv_dec3(self.up_dec2(decoder_outs[2]))
        )


class MPRNet(nn.Module):
    """The network: NCHW sRGB in [0,1] in and out, height and width multiples of 8."""

    def __init__(
        self,
        in_c: int = 3,
        out_c: int = 3,
        n_feat: int = 8,
        scale_unetfeats: int = 4,
        scale_orsnetfeats: int = 4,
        num_cab: int = 2,
        kernel_size: int = 3,
        reduction: int = 4,
        bias: bool = False,
    ) -> None:
        super().__init__()
        act = nn.PReLU()
        self.shallow_feat1, self.shallow_feat2, self.shallow_feat3 = (
            nn.Sequential(
                conv(in_c, n_feat, kernel_size, bias=bias),
                CAB(n_feat, kernel_size, reduction, bias=bias, act=act),
            )
            for _ in range(3)
        )
        args = (n_feat, kernel_size, reduction, act, bias, scale_unetfeats)
        self.stage1_encoder = Encoder(*args, csff=False)
        self.stage1_decoder = Decoder(*args)
        self.stage2_encoder = Encoder(*args, csff=True)
        self.stage2_decoder = Decoder(*args)
        self.stage3_orsnet = ORSNet(
            n_feat, scale_orsnetfeats, kernel_size, reduction, act, bias, scale_unetfeats, num_cab
        )
        self.sam12 = SAM(n_feat, kernel_size=1, bias=bias)
        self.sam23 = SAM(n_feat, kernel_size=1, bias=bias)
        self.concat12 = conv(n_feat * 2, n_feat, kernel_size, bias=bias)
        self.concat23 = conv(n_feat * 2, n_feat + scale_orsnetfeats, kernel_size, bias=bias)
        self.tail = conv(n_feat + scale_orsnetfeats, out_c, kernel_size, bias=bias)

    def forward(self, x3_img: torch.Tensor) -> list[torch.Tensor]:
        H = x3_img.size(2)
        W = x3_img.size(3)

        # Two patches for stage 2, four for stage 1.
        x2top_img = x3_img[:, :, 0 : int(H / 2), :]
        x2bot_img = x3_img[:, :, int(H / 2) : H, :]
        x1ltop_img = x2top_img[:, :, :, 0 : int(W / 2)]
        x1rtop_img = x2top_img[:, :, :, int(W / 2) : W]
        x1lbot_img = x2bot_img[:, :, :, 0 : int(W / 2)]
        x1rbot_img = x2bot_img[:, :, :, int(W / 2) : W]

        # Stage 1.
        x1ltop = self.shallow_feat1(x1ltop_img)
        x1rtop = self.shallow_feat1(x1rtop_img)
        x1lbot = self.shallow_feat1(x1lbot_img)
        x1rbot = self.shallow_feat1(x1rbot_img)
        feat1_ltop = self.stage1_encoder(x1ltop)
        feat1_rtop = self.stage1_encoder(x1rtop)
        feat1_lbot = self.stage1_encoder(x1lbot)
        feat1_rbot = self.stage1_encoder(x1rbot)
        feat1_top = [torch.cat((k, v), 3) for k, v in zip(feat1_ltop, feat1_rtop, strict=True)]
        feat1_bot = [torch.cat((k, v), 3) for k, v in zip(feat1_lbot, feat1_rbot, strict=True)]
        res1_top = self.stage1_decoder(feat1_top)
        res1_bot = self.stage1_decoder(feat1_bot)
        x2top_samfeats, stage1_img_top = self.sam12(res1_top[0], x2top_img)
        x2bot_samfeats, stage1_img_bot = self.sam12(res1_bot[0], x2bot_img)
        stage1_img = torch.cat([stage1_img_top, stage1_img_bot], 2)

        # Stage 2.
        x2top = self.shallow_feat2(x2top_img)
        x2bot = self.shallow_feat2(x2bot_img)
        x2top_cat = self.concat12(torch.cat([x2top, x2top_samfeats], 1))
        x2bot_cat = self.concat12(torch.cat([x2bot, x2bot_samfeats], 1))
        feat2_top = self.stage2_encoder(x2top_cat, feat1_top, res1_top)
        feat2_bot = self.stage2_encoder(x2bot_cat, feat1_bot, res1_bot)
        feat2 = [torch.cat((k, v), 2) for k, v in zip(feat2_top, feat2_bot, strict=True)]
        res2 = self.stage2_decoder(feat2)
        x3_samfeats, stage2_img = self.sam23(res2[0], x3_img)

        # Stage 3.
        x3 = self.shallow_feat3(x3_img)
        x3_cat = self.concat23(torch.cat([x3, x3_samfeats], 1))
        x3_cat = self.stage3_orsnet(x3_cat, feat2, res2)
        stage3_img = self.tail(x3_cat)
        return [stage3_img + x3_img, stage2_img, stage1_img]


def factory() -> nn.Module:
    """Return the network with weights of a fixed seed."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = MPRNet()
        with torch.no_grad():
            network.tail.weight.mul_(0.3)
    return network.eval()
