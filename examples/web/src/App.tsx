// The whole page: one session with one server, the module or the files in view, and what every view shares (header, live region,
// drop target, settings).
import { useEffect, useMemo, useRef, useState } from 'react';
import type { Server } from './api/client';
import { useFolder, useRoute } from './route';
import { Session, SessionContext, useSession, useStore } from './state/session';
import { loadServer, saveServer } from './state/settings';
import { DropAnywhere } from './view/DropAnywhere';
import { FilesView } from './view/FilesView';
import { Header } from './view/Header';
import { ModuleView } from './view/ModuleView';
import { ServerDialog } from './view/ServerDialog';
import { Sidebar } from './view/Sidebar';
import { Welcome } from './view/Welcome';

export function App() {
  const [server, setServer] = useState(loadServer);
  const session = useMemo(() => new Session(server), [server]);
  useEffect(() => {
    session.start();
    return () => session.end();
  }, [session]);
  const save = (chosen: Server) => {
    saveServer(chosen);
    setServer(chosen);
  };
  return (
    <SessionContext value={session}>
      <Page server={server} onServer={save} />
    </SessionContext>
  );
}

function Page({ server, onServer }: { server: Server; onServer: (server: Server) => void }) {
  const { ref, fn } = useRoute();
  const folder = useFolder();
  const session = useSession();
  const settings = useStore((state) => state.settings);
  const main = useRef<HTMLElement>(null);
  const known = useStore((state) => state.modules.length > 0);
  const said = useStore((state) => state.said);
  // A path begins with no `/`: no module has that name.
  const place = folder === null ? ref : `/${folder.path}`;
  const before = useRef(place);
  useEffect(() => {
    if (before.current === place) return;
    before.current = place;
    // What had the focus (an example's card, a delete button) is gone with the view it stood in.
    if (document.activeElement === document.body) main.current?.focus({ preventScroll: true });
  }, [place]);
  const beside = place !== null || known;
  return (
    <>
      {/* biome-ignore lint/a11y/useValidAnchor: it goes to a place in the page; only the address stays */}
      <a
        className="skip"
        href="#main"
        onClick={(event) => {
          // The address after `#` says which module is in view: it must stay.
          event.preventDefault();
          main.current?.focus();
        }}
      >
        Skip to the content
      </a>
      <Header address={server.address} onServer={() => session.settings(true)} />
      <div className={beside ? 'page beside' : 'page'}>
        {beside && <Sidebar current={ref} files={folder !== null} />}
        <main id="main" ref={main} tabIndex={-1}>
          {folder !== null ? (
            <FilesView route={folder} />
          ) : ref === null ? (
            <Welcome />
          ) : (
            <ModuleView route={{ ref, fn }} />
          )}
        </main>
      </div>
      <output className="hidden" aria-live="polite">
        {said}
      </output>
      <DropAnywhere
        text={folder === null ? 'Drop to add the modules' : 'Drop to put the files into this folder'}
        onFiles={(files) =>
          void (folder === null ? session.addFiles(files) : session.browsing.upload(folder.path, files))
        }
      />
      {settings && <ServerDialog server={server} onClose={() => session.settings(false)} onSave={onServer} />}
    </>
  );
}
