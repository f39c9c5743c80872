"""An interpreter of MIL (Core ML's Model Intermediate Language) in torch.

It runs saved ``.mlpackage`` files on any host.
"""
