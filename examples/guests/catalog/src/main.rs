//! Writes every guest into a folder: `runner-guests DIR`. The start script hands that folder to the server.

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: runner-guests DIR");
        return ExitCode::FAILURE;
    };
    let written = std::fs::create_dir_all(&folder).and_then(|()| {
        runner_guests::all().iter().try_for_each(|guest| std::fs::write(folder.join(guest.file), guest.bytes))
    });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("runner-guests: `{}`: {error}", folder.display());
            ExitCode::FAILURE
        }
    }
}
