"""Ports, stages and the runtime that hosts them: wiring and lifecycle, no business."""
