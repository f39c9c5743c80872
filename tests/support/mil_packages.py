"""MIL programs written by hand, saved without optimisation and opened by the interpreter."""

from __future__ import annotations

from edgeexpo.mil.interpreter import MilEngine
from edgeexpo.silence import quiet


def saved(builds, shapes, path):
    """Return an engine on one package whose outputs are those of ``builds``.

    Args:
        builds: Functions of the MIL builder and the inputs, by name; outputs are ``out_NAME``.
        shapes: Shapes of the float32 inputs ``x``, ``y``.
        path: Path of the package.
    """
    with quiet():
        import coremltools as ct
        from coremltools.converters.mil import Builder as mb  # noqa: N813

        @mb.program(
            input_specs=[mb.TensorSpec(shape=shape) for shape in shapes],
            opset_version=ct.target.iOS18,
        )
        def program(x, y):
            return tuple(
                mb.identity(x=build(mb, x, y), name=f"out_{name}") for name, build in builds.items()
            )

        model = ct.convert(
            program,
            compute_precision=ct.precision.FLOAT32,
            minimum_deployment_target=ct.target.iOS18,
            pass_pipeline=ct.PassPipeline.EMPTY,
            skip_model_load=True,
        )
        model.save(str(path))
    engine = MilEngine()
    engine.load(path)
    return engine
