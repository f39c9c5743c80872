"""Lowering of captured programs to Core ML, ExecuTorch, LiteRT and ONNX artefacts."""
