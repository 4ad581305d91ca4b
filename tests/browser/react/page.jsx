import { StrictMode, createElement } from 'react'
import { createRoot } from 'react-dom/client'

const root = createRoot(document.querySelector('main'))
globalThis.mount = () =>
	root.render(<StrictMode><ResumableLesson lessonId="lesson-1" lessonName="Fractions" /></StrictMode>)
globalThis.unmount = () => root.render(null)
