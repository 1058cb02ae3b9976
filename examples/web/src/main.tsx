// The door: colours first, so that nothing flashes, then the page.
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { App } from './App';
import { applyTheme, loadTheme } from './state/settings';
import './style/tokens.css';
import './style/controls.css';
import './style/fields.css';
import './style/layout.css';
import './style/welcome.css';
import './style/module.css';
import './style/grants.css';
import './style/result.css';
import './style/files.css';

applyTheme(loadTheme());
const root = document.getElementById('root');
if (root === null) throw new Error('index.html has no #root');
createRoot(root).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
