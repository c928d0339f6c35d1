"""`dbshuf report`: how well an output is shuffled, seen in the files themselves.

sample      some rows of the output, and all rows' lengths
origin      where those rows stood in the inputs
randomness  statistical tests of what was found
figures     the same as pictures
page        all of it as one HTML file

(`dbshuf.report` is the function, so no folder can have that name.)
"""
