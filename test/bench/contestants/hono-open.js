/** No authentication. */
import { onHono } from '../application.js'

export default onHono(() => {})
