package admin

import (
	"errors"
	"net/http"

	"leveret/edge/devices"
)

type deviceView struct{ *devices.View }

func (v deviceView) title() string { return v.ID }

// devices are all that are remembered, or those of the user.
func (s *Server) devices(q *request) (any, error) {
	var list []deviceView
	for _, v := range s.o.Devices.List() {
		if q.who.owns(v.User) {
			list = append(list, deviceView{v})
		}
	}
	return listed(q, list)
}

func (s *Server) device(q *request) (any, error) {
	v, ok := s.o.Devices.Get(q.PathValue("id"))
	switch {
	case !ok:
		return nil, errNotFound
	case !q.who.owns(v.User):
		return nil, errNotYours
	}
	return v, nil
}

var errDeviceConnected = &answer{http.StatusConflict, "conflict", "the device is connected; close its connection first"}

// forgetDevice takes a device that is away out of the registry.
func (s *Server) forgetDevice(q *request) (any, error) {
	id := q.PathValue("id")
	ok, err := s.o.Devices.Forget(id)
	switch {
	case errors.Is(err, devices.ErrConnected):
		return nil, errDeviceConnected
	case !ok:
		return nil, errNotFound
	}
	s.o.Log.Info("device is forgotten for an operator", "device", id, "by", q.who.user.Name)
	lsn, err := s.o.Devices.Save()
	if err != nil {
		return nil, err
	}
	return noContent, s.durable(q.Context(), lsn)
}
