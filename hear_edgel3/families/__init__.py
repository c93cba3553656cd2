"""The families of nets. Each is one folder with its rows, front end, net, upstream's layout of weights and student."""
