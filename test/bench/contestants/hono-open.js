/** Nobody is asked anything. */
import { onHono } from '../application.js'

export default onHono(() => {})
