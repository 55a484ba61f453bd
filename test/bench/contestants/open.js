/** No authentication. */
import { onFastify } from '../application.js'

export default onFastify(() => {})
