<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" sourcelanguage="en">
  <context>
    <name>RsSegment</name>
    <message>
      <source>'{name}' is a web layer without a size of its own.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>'{name}' is not a raster file.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>'{word}' in '{text}' is not a number.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>1 band</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>1 polygon in {time}.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>A large raster instead of a folder.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>A new network</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>A run is already under way.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Add a raster file to the project</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Add a raster layer to the map, or open a file.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Adds a model folder or zip to your own models.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>All files (*)</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>All numbers as JSON.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Also tested</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Also write a GeoTIFF of class numbers</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Also write a GeoTIFF of scores</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Area</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Area at least</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Area of interest</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Areas to ignore</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>As the card states it.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Automatic</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Average over flips</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Average over flips (4 × slower)</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Back to the inputs</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Backend</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Balanced</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Band numbers in the order of the model, e.g. 3,2,1.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Band numbers of the raster. Empty: all except alpha.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Band numbers, for example 3,2,1. Empty: all except alpha.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Bands</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Bands ({numbers})</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Bands, in the order of the model</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Batch</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Best: takes long</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Blocks of ground, or whole rasters.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Box drawn on the map</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Box is set. Press to draw another one.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Cancel</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Cancelled after {time}. No layer was added.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Cancelled.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Cancelling…</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Check and use</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Check the free space of the folder for temporary files.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Check the network and the free space for temporary files.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Check the network and the proxy in the QGIS options, then try again.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Check the permissions of your QGIS profile folder.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Checking the environment</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Checking the model</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Checking… (loading the packages takes a moment)</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Checks a model (card, weights, one pass of its network) and copies it to your own models, from where it can be chosen by its name. Take the zip, the folder, or the card.json in the folder.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Chip size (px)</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Chips</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Chips for the test</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Chips for training</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Chips for validation</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Chips need either rasters and labels, or a data set.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Choose a Python program</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Choose a folder with card.json and weights.safetensors, or a zip of one.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Choose a model or a model folder.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Choose a model that can be used.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Choose a raster and a label layer, or set {a} and {b}.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Choose a raster band for each band of the model.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Choose a raster layer.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Choose a smaller extent, or a file instead of a web layer.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Choose an extent inside the raster, and check the CRS of both.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Choose an extent or an area of interest.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Choose another extent.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Choose another interpreter, or create one.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Choose another layer, or select polygons in it.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Choose another name, or remove the layer from the project first.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Choose one of the two.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Choose the layer with the label polygons.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Choose the polygon layer of the area.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Choose the python program of an environment that has the engine's packages, for example one your administrator made.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Class</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Class field</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Class field of the found polygons</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Class field of the true polygons</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Class name</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Class raster</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Classes</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Classes per pixel</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Classes to keep</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Common area, as a share of the united one, that makes two polygons a pair.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Compare polygons with the truth</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Compares a layer of found polygons with a layer of true ones: common area (IoU), found, missed and false objects, and average precision where the polygons have a score. Areas are true areas on the ground, in any coordinate system.

Give the area in which the truth is complete; outside of it nothing is compared.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Compares found polygons with true ones.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Comparing</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Compiling for the first run</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Continue an interrupted run</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Continue the run that was interrupted</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Continue the training that was interrupted</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Copy</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Copy '{name}' to a layer that you can edit, and train the model again with it</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Copy this run as a qgis_process command</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Correct and train again</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Correct them, then press Train.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Create</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Create it for me</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Crop size (px)</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Current map view</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Cut samples and train the network (Ctrl+Return)</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Cuts a raster and label polygons into samples for training.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Cuts one or more rasters and a layer of label polygons into chips: small images with masks and COCO annotations, split into training, validation and test parts by blocks of ground, so that no pixel is shared.

The class of a polygon comes from the class field; without one all polygons are one class. Ground inside the labelled area and outside all polygons is background. Draw the labelled area if you have not labelled the whole raster: everything outside of it is left out.

Colours of the classes are taken from the style of the label layer. Edits that are not saved and selections are respected.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Cutting chips</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Data set</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Details</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Device</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Downloading packages</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Downloading packages ({n}): {name}</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Downloads about {size} GB of Python packages (PyTorch, GDAL and others) from the Python package index; unpacked they take about twice that, in the folder below. It takes 5 to 20 minutes. Nothing of QGIS or of the system is changed; delete the folder to undo it.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Drag a box on the map.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Draw the box on the map first.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Drawing polygons</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Each tile is also predicted mirrored; a bit more accurate</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Either a folder of images or a raster is needed.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Empty or 0: automatic.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Empty or 0: the recipe's.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Empty: class_name where there is one, else one class for all.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Empty: one class for all.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Empty: the name of the model folder.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>End its name in {ending}.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>End now and make a model of the best weights so far</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Engine</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Epoch {epoch}</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Epoch {epoch}, step {step}: {values}</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Epochs</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Error: </source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Extent</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Field with the class of each polygon. Empty: one class for all.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Field with the score of the found polygons, for average precision.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Field with the true class. Empty: one class for all.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Fields of the layer: {names}</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>File to start a training from.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Finds classes or objects in an orthophoto or satellite image with a trained model and writes them as polygons to a GeoPackage: class, score, area in square metres and perimeter in metres for each, with a style and the record of the run.

Rasters of any size are read tile by tile; tile seams do not show in the result. Choose a model whose ground resolution fits the raster; a raster outside the model's range is resampled with a warning.

The network runs in a process of its own, which needs an engine environment: see the RS Segment panel.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Fine-tune: {title}</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Folder</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Folder for confusion matrix and curves.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Folder of chips, instead of raster and labels.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Folder of images</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Folder of images, masks, annotations.json and chips.json.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Folder of the data set</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Folder that Make training chips wrote.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Folder to make. Empty: among your own models, after id or title.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Folder with card.json and weights.safetensors, used instead of the model above.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>For experts: NAME=VALUE pairs separated by semicolons, as in the documentation</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Found polygons</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Four passes over each tile (test-time augmentation): slower, a little better.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Free some space, or use an interpreter elsewhere.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Gap between parts (m)</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>GeoPackage for the polygons; empty makes a temporary layer</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>GeoPackage with one polygon layer, its style and the record of the run.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>GeoTIFF with the class id of each pixel; 255 where there is no data.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>GeoTIFF with the score of each pixel's class.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Give the model a name.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Go on where a cancelled or killed run with the same output stopped.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Goes on learning from your labels; classes may be others.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Good at {what}.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Graphics card {number}</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Graphics cards, or processes on the processor, that train together.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Ground left out between the parts; with 0 no pixel is shared either.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Ground that is labelled completely; outside of it nothing is learnt.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Ground that is left out, for example where you are not sure</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Ground that is left out, for example where you are not sure.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Ground that you have labelled completely; nothing outside of it is learnt</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Ground without a polygon is background</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Heavy: wants a graphics card.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Hide objects with a lower score; the file is not changed</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>How far outlines may be apart and still count as right.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>How it learns.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>How long the network learns</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>How long to train: quick, balanced or best.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Id of a model in the model list, or the path of a model folder.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Id of the model</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Id of the run</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Id or folder of a model to fine-tune, or a .safetensors file of weights.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>If memory was short, set a smaller TILE, BATCH or MAX_MEMORY. If the engine does not start at all, check its environment in the RS Segment panel.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Images of any number, without labels.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Images per batch</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Images per step. Empty or 0: the recipe's.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Import a folder…</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Import a model</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Import a model from a zip or a folder</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Import a zip…</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Import model</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Install one (Debian, Ubuntu: python3-venv; Windows, macOS: python.org), or choose an interpreter that has the packages.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Install the packages there, choose another interpreter, or create one.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Install the plugin again.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Installing packages</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>JSON file of values that override the recipe.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Keys in the dictionary</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Label polygons</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Labelled area</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Labels</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Largest share of empty chips</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Learn from nothing, or go on from a model</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Learning rate</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Learns from many images without labels (MoCo v2): crops of the same image are made alike, crops of different ones apart. The weights are a start for training with few labels: choose the file under 'Start from' in Train model.

This takes long; a graphics card is advised.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Learns the weights of a network's backbone from unlabelled images.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Leave out</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Licence ({part})</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Licence of the code</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Licence of the data</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Licence of the weights</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Light: trains on any computer.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Loading the model</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Look again</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Look for models again</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Looking at the chips</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Looking for a Python</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Loss</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Make the outlines of buildings right-angled.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Make training chips</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Making the environment</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Measure</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Measure model</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Measures how good a model is on labelled data.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Measuring</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Medium: a graphics card is better.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Memory limit</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Memory limit (MiB)</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Method</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Metrics</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Minimum area (m²)</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Minimum score</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Minutes to an hour on any computer; tells whether the labels work.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Model</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Model folder</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Model name</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Models (*.zip)</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Models run in a Python environment of their own, apart from QGIS, so that they can never break it. It is made once and serves all your projects.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>NAME=VALUE pairs, separated by semicolons, for example optimizer.lr=0.001.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>NVIDIA graphics card (CUDA)</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Name for people.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Name of a data set reader, for example coco, masks or nwpu_vhr10.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Name of a network, for example unet. Empty: that of the model to start from.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Name of the network whose backbone learns.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Name of the single class</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Needed with a data set.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Needed with a raster.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Neighbouring tiles share this margin and are blended</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Network</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Network: {title}</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>No engine yet.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>No label layer is chosen.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>No model is chosen.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>No polygon has a class in the field {field}.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>No raster is chosen.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>No: it is left out (sparse labels).</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Not checked yet.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Nothing was found in {time}. Check pixel size and bands, lower the score, or try another area.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Number format of the network; auto takes the fastest one that gives at least 99.9 % of the labels of fp32. mixed: bf16 for the costliest layers only.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Number format of the network; auto takes the fastest sound one.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Number format of the network; automatic keeps 99.9 % of the exact labels</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Number of polygons</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Of all that is random.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Of the training chips; 1 keeps all.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>One of your own models may be replaced.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>One raster band is used for two bands of the model.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>One step before the first run</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Only about {count} samples of {tile} px: label more ground, or make the sample size smaller (Options).</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Only ground inside is compared.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Only ground inside these polygons is segmented</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Only {count} polygons: label more for a model that can be trusted.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Open a raster</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Open the folder of your own models</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Open the report</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Options</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Outlines may move by this distance; neighbours keep their common border</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Output</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Overlap</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Overlap (px)</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Overlap of neighbouring chips of the same part.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Overlap of neighbouring tiles. Empty or -1: the model's.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Paper, options, picture</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Part</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Part of the chips or of the data set.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Part of the raster to segment. Empty: the whole raster.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Passes over the data. Empty or 0: the recipe's.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Pause</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Paused. Resume goes on where it stopped, even after a restart.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Pausing: saving what was learnt…</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Pictures</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Pixel size</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Pixel size (m)</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Pixel type</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Pixels are resampled to this size. Empty or 0: the raster's own.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Pixels or objects below this score (0 to 1) are dropped</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Polygons</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Polygons of a layer</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Polygons of what the model should learn</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Polygons outside of which nothing is segmented; selected features only, if set.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Pre-train on images without labels</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Precision</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Preset</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Press, then drag a box on the map</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Processes</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Processes that read chips. Empty or -1: automatic.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Processor (CPU)</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Publish the best so far</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Python {version}, torch {torch}</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Quality</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Quick: a first impression</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>RS Segment</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>RS Segment has no engine yet. Open the RS Segment panel (Raster menu) to set one up, or set the environment variable RS_SEGMENT_PYTHON to a Python that has the packages of resources/engine_requirements.txt.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Raster</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Raster bands for the model's bands. Empty: found by the model's card.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Raster to run the model on, instead of chips.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Raster to segment. Web layers (XYZ, WMS) need an extent or an area of interest.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Rasters</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Rasters with the same bands and data type.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Reading processes</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Recipe</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Recipe file</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Recipe options</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Replace a model with the same id</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Replace an existing model</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Report</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Result of a run.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Resume</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Run</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Runs a model on the test part of a chip folder, on a published data set, or on a raster with a layer of true polygons, and compares. Models of classes per pixel get IoU, F1 and accuracy, models of single objects average precision (AP) as COCO defines it.

The numbers are written as JSON, and as a page to read.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Same object from IoU</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Sample size</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Save class raster as</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Save polygons as</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Save score raster as</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Save the layer as a GeoTIFF first.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Save the rasters with their CRS, or use them one after another.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Saving the web layer</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Score</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Score at least</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Score field</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Score from 0 to 1 that a pixel or object must reach. Empty or -1: the model's.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Score raster</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Seconds</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Seed</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Segment</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Segment raster</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Segment rasters with trained networks</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Segment the raster (Ctrl+Return)</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Segment with this model</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Segmentation</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Segmentation failed</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Segmentation finished</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Segmenting</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Select one or more polygons, or untick Selected features only.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Selected features only</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Selected features only ({count})</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Set the pixel size ({name}).</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Shares of the ground; three numbers that sum to 100.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Show or hide the log</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Side of a block (m)</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Side of a chip in pixels. Empty or 0: automatic.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Side of an image crop in pixels.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Side of the square pieces the model sees</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Side of the square samples that the network learns from</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Side of the tiles that the network sees. Empty or 0: the model's.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Simplify</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Simplify (m)</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Single objects</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Smaller polygons are dropped</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Smaller polygons are left out. Square metres, whatever the CRS.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Split</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Split by</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Square corners</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Square corners (buildings)</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Start from</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Starting the engine…</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Starting…</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Stop and keep</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Stop this run</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Stop this training; it can be continued later</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Stopped after {time}. It can be continued: press Train again.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Stopping after the current step. No layer will be added.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Stopping after the current step. What was learnt so far can be continued.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Stopping: the best weights become a model…</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Teach a model your own classes</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Tested</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The CRS of the layer ({layer}) differs from its file's ({file}), which is used.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The Python environment that runs the models</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The RS Segment tools are not registered. Restart QGIS.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The area lies outside the raster.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The command is on the clipboard.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The engine is not set up yet: see the Engine tab.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The engine is ready.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The engine is still working.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The engine needs Python 3.10 or newer.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The engine was stopped.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The environment cannot be made</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The extent does not touch the raster.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The extent has no area.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The extent has {n} million pixels at {gsd} m; {limit} are allowed.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The field with the class; empty: all polygons are one class</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The field {field} has too many classes: is it the right one?</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The folder {folder} does not exist.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The image that the labels belong to</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The image to segment; follows the layer chosen in the map</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The kernels are not compiled yet: {text}</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The label layer has no polygons.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The labels cannot be made</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The labels lie outside the raster: check the CRS of both.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The layer '{name}' cannot be read.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The layer '{name}' cannot be saved (code {code}).</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The layer '{name}' has no field '{field}'.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The layer '{name}' has no polygons.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The model folder, and what an interrupted training left, may be replaced.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The model is ready after {time}, and chosen in the Segment tab.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The model needs {need} bands ({names}), the raster has {have}. Choose another raster, or use one band several times under Bands.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The model that finds the objects</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The name by which you choose the model afterwards</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The name of the only class; empty: object</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The network that learns</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The numbers as a page to read.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The overlap ({overlap} px) must be smaller than the tile ({tile} px).</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The overlap of {overlap} px is not smaller than the tile of {tile} px.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The packages are installed but do not load</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The packages cannot be installed</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The part of the raster that is segmented</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The pixels are {have}, the model was trained on {want}: values may be scaled differently, check the result.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The raster band that the model sees as {name}</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The raster has no band {band}, only 1 to {count}.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The raster has no coordinate system: pixel size and areas are not in metres. Set the layer's CRS first for true sizes.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The rasters have no CRS of their own, and their layers have different ones.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The run cannot start</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The run ended without a result.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The training cannot start</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The two commands are on the clipboard.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The usual choice.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The whole recipe of the network; for a graphics card or a night.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>There are no further details.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>There is a model of this name: choose another one.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>There is no Python 3.10 or newer with venv and ensurepip.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>There is no model yet. Put a model folder into the model directory.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>This Python works.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>This QGIS cannot write this run as a command (needs QGIS 3.24).</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>This is a large run: try a small box first.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>This layer cannot be read: its file is missing or broken.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>This layer comes from a service: the chosen area is downloaded first.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>This model cannot be used: {problem}</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Tile</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Tile (px)</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Tiles per batch</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Tiles per step; smaller needs less memory</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Tiles that are computed together. Empty or 0: automatic.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Tiles that are done already are not computed again</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Time limit</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Time limit (minutes)</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Title of the model</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Tolerance for fewer vertices; neighbours keep their shared edges. 0: off.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Tolerance of the boundary F1 (px)</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Train</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Train model</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Train, validation, test (%)</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Training</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Training and measuring</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Training data</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Training ends after so long and keeps the best</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Training ends after so long and keeps the best. Empty or 0: no limit.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Training failed</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Training finished</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Trains a network on a folder of chips (see Make training chips) and writes a model folder: weights, card, report with curves. The model is chosen by its name in Segment raster afterwards.

Start from an existing model to fine-tune it, for example on corrected results. The preset says how long to train: quick gives a first impression, best is for a computer with a graphics card.

A cancelled training can be continued: run it again with the same output and 'Continue an interrupted run'. With 'Publish the best so far' it ends at once and keeps what it has learnt.

Networks that give every pixel a class:
{semantic}

Networks that find single objects:
{instance}</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Trains a network on chips; the result is a model to segment with.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>True polygons</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Turn a raster into polygons</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Turn building outlines into right angles where they fit</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Turns a raster into polygons with a trained network.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Unlabelled ground is background</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Untick it if you have labelled a few examples only</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Upper bound for the buffers of the run</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Upper bound for the buffers of the run. Empty or 0: automatic.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Use an existing Python</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Used where there is no class field.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Using {python}</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Value</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Values of the class field, separated by semicolons, in the order of their numbers. Empty: all. Ground of other classes is left out.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Warning: </source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Warnings: {count}, see the log.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Weights</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>What runs the model; automatic takes the fastest one that is installed</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>What runs the network; auto takes the fastest one that is installed.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>What should have been found, any CRS.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>What the model should learn, any CRS.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Where the model runs; automatic takes the graphics card if any</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Where the network runs; auto takes a GPU if there is one.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Whole layer</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>With 'Continue': end an interrupted training at once and write its model.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>With the samples, network and recipe that it was started with</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Without a labelled area, all ground of the raster without a polygon counts as background.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Writing rasters</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Writing the model</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Yes, download and install this</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Zip of a model, its folder, or the card.json in its folder.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>and {count} more</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>another class</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>as the recipe says</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>automatic</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>batches</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>best {name} {value} at step {step}</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>blocks</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>box AP</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>chips</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>choose a polygon layer…</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>choose…</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>classes per pixel</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>exact (fp32)</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>fast (bf16)</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>for example Roofs of my town</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>for example building</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>keep all</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>less</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>mean IoU</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>measuring</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>model's</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>more</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>nearly exact (mixed)</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>no answer</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>none</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>nothing</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>off</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>polygons</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>rows</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>save your edits first</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>shipped</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>single objects</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>step {step}</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>steps</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>temporary layer</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>the plugin is closing</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>the whole raster</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>tiles</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>training</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>user</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>validation</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>with background</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>{count} bands</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>{count} polygons have no class and are left out.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>{count} polygons in {time}.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>{count} polygons, one class</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>{gb:.1f} GB are free in {folder}, {need} GB are needed</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>{gsd} per pixel fits the model.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>{gsd} per pixel is coarser than the model knows ({low} to {high}). The raster is resampled to {nominal}, but small objects may be missing.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>{gsd} per pixel is finer than the model knows ({low} to {high}). The raster is resampled to {nominal} while it is read.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>{gsd} per pixel is too coarse for this model ({low} to {high}). Choose sharper imagery, or a model for this resolution.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>{id} (broken)</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>{low} to {high}, best {best}</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>{mpx} megapixels in 1 tile.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>{mpx} megapixels in {tiles} tiles.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>{name} '{path}' is not a {kind}.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>{name} · labelled area</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>{name} · labels</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>{n} bands are chosen, the model needs {m}: {names}</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>{parameters} million parameters; {seconds} s per megapixel on one processor core, {ratio} times U-Net (ResNet-50).</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>{path} cannot be read: {reason}</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>{path} cannot be written: {reason}</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>{path} does not exist.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>{path} is missing</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>{path} is not a model folder (no card.json).</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>{path} is not a raster that QGIS can read.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>{path} is shown by the layer '{layer}'.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>{polygons} polygons of one class</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>{polygons} polygons of {classes} classes</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>{python} does not exist</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>{python} has no {packages}</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>{python} is Python {version}</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>{python} is not a usable Python: {reason}</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>{score} % · {count} shown</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>{stage}: {done} of {total} {unit}</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>{tile} px, overlap {overlap} px</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>{time} left</source>
      <translation type="unfinished" />
    </message>
  </context>
</TS>
