"""One job, done with Freshet, with stock Faust and Tables, with quixstreams and with bytewax."""
