//! Both stores keep the promises of the trait.

use breakbulk_store::conformance::CASES;
use breakbulk_store::embedded::{Embedded, Options};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_store_conforms() {
    for (name, case) in CASES {
        println!("{name}");
        let dir = tempfile::tempdir().unwrap();
        let store = Embedded::open(dir.path(), Options::default()).unwrap();
        case(&store).await;
    }
}
