/** Nobody is asked anything. */
import { onFastify } from '../application.js'

export default onFastify(() => {})
