"""The distributions that the engine uses, as ``pyproject.toml`` declares them."""

from __future__ import annotations

REQUIRED_PACKAGES = (
    *("torch", "torchvision", "timm", "segmentation-models-pytorch", "safetensors", "pillow"),
    *("numpy", "scipy", "numba", "rasterio", "affine", "shapely", "pyproj", "pyogrio", "pyarrow"),
    *("lightning", "tensorboard", "hotcoco", "matplotlib", "defusedxml", "click", "tqdm"),
)
OPTIONAL_PACKAGES = ("onnx", "onnxscript", "onnxruntime", "openvino")
