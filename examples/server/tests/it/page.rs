//! The built page, and only that, at `/`.

use tempfile::TempDir;

use crate::support::{Site, dir};

fn built() -> TempDir {
    let folder = TempDir::new().unwrap();
    let page = folder.path().join("dist");
    std::fs::create_dir_all(page.join("assets")).unwrap();
    std::fs::write(page.join("index.html"), "<title>Runner</title>").unwrap();
    std::fs::write(page.join("assets/index-1234.js"), "run()").unwrap();
    std::fs::write(folder.path().join("secret.txt"), "not yours").unwrap();
    std::os::unix::fs::symlink(folder.path().join("secret.txt"), page.join("link.txt")).unwrap();
    folder
}

#[tokio::test]
async fn the_page_comes_with_its_type_its_age_and_its_policy() {
    let folder = built();
    let site = Site::with(|wants| wants.page = Some(dir(&folder.path().join("dist"))));
    for path in ["/", "/index.html"] {
        let answer = site.get(path).await;
        assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "<title>Runner</title>"));
        assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
        assert_eq!(answer.header("cache-control"), "no-cache");
        let policy = answer.header("content-security-policy");
        assert!(policy.contains("default-src 'none'; script-src 'self'") && policy.contains("frame-ancestors 'none'"));
    }
    let script = site.get("/assets/index-1234.js").await;
    assert_eq!(script.header("content-type"), "text/javascript; charset=utf-8");
    assert_eq!(script.header("cache-control"), "public, max-age=31536000, immutable");
}

#[tokio::test]
async fn no_path_leads_out_of_the_page() {
    let folder = built();
    let site = Site::with(|wants| wants.page = Some(dir(&folder.path().join("dist"))));
    for path in [
        "/../secret.txt",
        "/assets/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/link.txt",
        "//etc/passwd",
        "/assets",
        "/absent",
    ] {
        let answer = site.get(path).await;
        answer.is_problem(404, "not_found", "no page");
    }
}

#[tokio::test]
async fn without_a_built_page_the_server_says_how_to_build_one() {
    let answer = Site::new().get("/").await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "text/html; charset=utf-8"));
    assert!(answer.body.contains("npm run build"));
}
