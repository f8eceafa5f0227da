"""The parts of a training run, which `minisk.train.Trainer` puts together; public names are to be had from there."""
