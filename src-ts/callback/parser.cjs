// Loaded when the first function is sent or received: the parser is a third of the code.
module.exports = require('acorn')
