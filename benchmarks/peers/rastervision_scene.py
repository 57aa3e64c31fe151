"""Raster Vision: sliding windows, smooth labels, its label store with polygons of one class."""

import torch
from peer_network import BATCH, FOLDER, OVERLAP_PX, RASTER, TILE_PX, timed
from rastervision.core.data import (
    ClassConfig,
    PolygonVectorOutputConfig,
    SemanticSegmentationLabels,
)
from rastervision.pytorch_learner import (
    SemanticSegmentationGeoDataConfig,
    SemanticSegmentationLearner,
    SemanticSegmentationLearnerConfig,
    SemanticSegmentationSlidingWindowGeoDataset,
    SolverConfig,
)


def run(network):
    """Segment the raster into a class raster and polygons."""
    classes = ClassConfig(names=["background", "building"], null_class="background")
    dataset = SemanticSegmentationSlidingWindowGeoDataset.from_uris(
        class_config=classes,
        image_uri=str(RASTER),
        size=TILE_PX,
        stride=TILE_PX - OVERLAP_PX,
        out_size=TILE_PX,
    )
    data = SemanticSegmentationGeoDataConfig(class_config=classes, num_workers=0)
    config = SemanticSegmentationLearnerConfig(data=data, solver=SolverConfig(batch_sz=BATCH))
    learner = SemanticSegmentationLearner(
        config, model=network, output_dir=str(FOLDER / "learner"), training=False
    )
    predictions = learner.predict_dataset(
        dataset,
        raw_out=True,
        numpy_out=True,
        predict_kw={"out_shape": (TILE_PX, TILE_PX)},
        dataloader_kw={"batch_size": BATCH},
        progress_bar=False,
    )
    labels = SemanticSegmentationLabels.from_predictions(
        dataset.windows,
        predictions,
        extent=dataset.scene.extent,
        num_classes=len(classes),
        smooth=True,
    )
    labels.save(
        uri=str(FOLDER / "labels"),
        crs_transformer=dataset.scene.raster_source.crs_transformer,
        class_config=classes,
        smooth_output=False,
        vector_outputs=[PolygonVectorOutputConfig(class_id=1)],
    )


torch.set_grad_enabled(False)
timed(run)
