"""Video, DICOM and image folders in, clips out: reading, splitting, down-sampling and writing. Needs no torch."""
