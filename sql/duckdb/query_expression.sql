-- Purpose:    a text that ought to be expressions, to parse and to bind it alone.
-- Parameters: {expressions} the user's, comments and all: hence the line ends
SELECT {expressions}
