"""PointBind: point clouds in ImageBind's space."""
