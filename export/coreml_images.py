"""The form of a graph with stages whose inputs and output are images of the platform.

Such images are planes of whole numbers from 0 to 255, 1x3xHxW, as Core ML passes them.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch.fx import GraphModule

from edgeexpo.program.capture import Program


class _Images(torch.nn.Module):
    """A graph of frames, HxWx3, that takes and gives planes, 1x3xHxW in 0 to 255."""

    def __init__(self, graph: GraphModule) -> None:
        super().__init__()
        self.graph_of_frames = graph

    def forward(self, *planes: torch.Tensor) -> torch.Tensor:
        frames = [picture[0].permute(1, 2, 0) for picture in planes]
        codes: torch.Tensor = self.graph_of_frames(*frames)
        return codes.permute(2, 0, 1).unsqueeze(0)


def image_form(program: Program) -> Program:
    """Return a program of frames in its form for images.

    Codes stay whole numbers in float32, so that no type of 8 bits enters the graph.
    """
    graph: Any = program.exported.module(check_guards=False)
    for node in list(graph.graph.nodes):
        if node.target is torch.ops.aten._assert_tensor_metadata.default:
            graph.graph.erase_node(node)
        elif node.op == "call_function" and torch.uint8 in node.args:
            with graph.graph.inserting_before(node):
                whole = graph.graph.call_function(torch.ops.aten.floor.default, (node.args[0],))
            node.replace_all_uses_with(whole)
            graph.graph.erase_node(node)
    graph.recompile()
    height, width = program.sizes.largest
    planes = tuple(torch.zeros(1, t.channels, height, width) for t in program.tensors)
    with torch.no_grad():
        exported = torch.export.export(_Images(graph), planes)
    return dataclasses.replace(program, exported=exported)
