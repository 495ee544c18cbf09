package api

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	_ "image/jpeg" // decoders of the pictures that are taken
	"image/png"
	"net/http"

	"golang.org/x/image/draw"
)

const (
	maxPicture = 1 << 20 // bytes of a picture as sent
	maxSide    = 4096    // pixels of its longer side
	avatarSize = 128     // pixels of an avatar's sides
)

var errPicture = errors.New("the picture must be PNG or JPEG, at most 1 MiB and 4096 pixels a side")

// decodePicture reads a picture within bounds. It goes by the content: what a
// client calls its file means nothing. The size is judged before the pixels
// are unpacked.
func decodePicture(data []byte) (image.Image, error) {
	if len(data) > maxPicture {
		return nil, errPicture
	}
	switch http.DetectContentType(data) {
	case "image/png", "image/jpeg":
	default:
		return nil, errPicture
	}
	cfg, _, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil || cfg.Width < 1 || cfg.Height < 1 || cfg.Width > maxSide || cfg.Height > maxSide {
		return nil, errPicture
	}
	img, _, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("%w: %s", errPicture, err)
	}
	return img, nil
}

// thumbnail makes a square PNG of the middle of a picture. The picture is
// drawn anew, so that nothing else that was in the file is kept.
func thumbnail(data []byte, side int) ([]byte, error) {
	img, err := decodePicture(data)
	if err != nil {
		return nil, err
	}
	b := img.Bounds()
	cut := min(b.Dx(), b.Dy())
	x, y := b.Min.X+(b.Dx()-cut)/2, b.Min.Y+(b.Dy()-cut)/2
	out := image.NewRGBA(image.Rect(0, 0, side, side))
	draw.CatmullRom.Scale(out, out.Bounds(), img, image.Rect(x, y, x+cut, y+cut), draw.Src, nil)
	return encodePNG(out)
}

// fit draws a picture anew as PNG, made smaller where it is larger than width
// by height.
func fit(data []byte, width, height int) ([]byte, error) {
	img, err := decodePicture(data)
	if err != nil {
		return nil, err
	}
	b := img.Bounds()
	scale := min(1, float64(width)/float64(b.Dx()), float64(height)/float64(b.Dy()))
	out := image.NewRGBA(image.Rect(0, 0, max(1, int(float64(b.Dx())*scale)), max(1, int(float64(b.Dy())*scale))))
	draw.CatmullRom.Scale(out, out.Bounds(), img, b, draw.Src, nil)
	return encodePNG(out)
}

func encodePNG(img image.Image) ([]byte, error) {
	var buf bytes.Buffer
	if err := png.Encode(&buf, img); err != nil {
		return nil, fmt.Errorf("encode a picture: %w", err)
	}
	return buf.Bytes(), nil
}
