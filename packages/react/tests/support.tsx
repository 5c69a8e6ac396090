import * as React from 'react'
import { createRoot, type Root } from 'react-dom/client'

Object.assign(globalThis, { IS_REACT_ACT_ENVIRONMENT: true })

export const { act } = React

const roots: Array<{ root: Root; container: HTMLElement }> = []

export const cleanup = () => {
  for (const { root, container } of roots.splice(0)) {
    act(() => root.unmount())
    container.remove()
  }
}

/** Renders into a page of its own; the same on React 18 and 19. */
export const render = (node: React.ReactNode) => {
  const container = document.body.appendChild(document.createElement('div'))
  const root = createRoot(container)
  roots.push({ root, container })
  act(() => root.render(node))
  return {
    rerender: (node: React.ReactNode) => act(() => root.render(node)),
    unmount: () => act(() => root.unmount()),
  }
}

/** Renders what may have to wait. */
export const renderLater = async (node: React.ReactNode) => {
  let rendered: ReturnType<typeof render> | undefined
  await act(async () => {
    rendered = render(node)
  })
  return rendered as ReturnType<typeof render>
}

const all = (id: string) => [...document.querySelectorAll(`[data-testid="${id}"]`)]

export const texts = (id: string) => all(id).map((node) => node.textContent)
export const text = (id: string) => texts(id).join('|')
