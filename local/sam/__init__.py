"""`sam local` on the stack of `make up`: a build, the functions' environment, records, and a way to the ports."""
