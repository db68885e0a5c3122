// Loaded with the first cron text.
module.exports = require('croner')
