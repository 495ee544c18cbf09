package icewatch.priority
