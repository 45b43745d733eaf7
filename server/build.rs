//! A new migration file must rebuild the crate that embeds it: `sqlx::migrate!` alone does not notice new files.

fn main() {
    println!("cargo:rerun-if-changed=../migrations");
}
