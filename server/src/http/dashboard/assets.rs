//! `GET /static/{*address}`: style sheets, scripts, fonts. Visible to everybody.

use axum::{
    extract::Path,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use syncline_web::assets;

/// Answer with an embedded file. An address of this very build never changes its content, so browsers need not ask
/// again; one of another build gets today's file and may not keep it.
pub async fn serve(Path(address): Path<String>) -> Response {
    let Some(asset) = assets::find(&address) else {
        return (StatusCode::NOT_FOUND, "There is no such file.").into_response();
    };
    let keep = if asset.immutable { "public, max-age=31536000, immutable" } else { "no-cache" };
    let headers = [
        (header::CONTENT_TYPE, asset.content_type),
        (header::CACHE_CONTROL, keep),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, asset.bytes).into_response()
}
