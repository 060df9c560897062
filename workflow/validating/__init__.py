"""The property suite on ensembles, label sources and published models: run, kept, compared, shown."""
