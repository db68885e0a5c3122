//! Links the addon for Node-API.

fn main() {
    napi_build::setup();
}
